"""A till's SQLite file: capture, push, pull, apply. The file is the application's: touch only what is ours."""
