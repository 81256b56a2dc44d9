"""What can be set: limits that a peer meets (`limits`) and keys that a user sets (`settings`)."""
