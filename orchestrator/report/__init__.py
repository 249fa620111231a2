"""What a person wants to know: where everything stands, what an installation changed, what the plan says."""
