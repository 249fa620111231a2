"""What keeps an agent at work: its lease, its rounds, its schedule; and installing what it works on."""
