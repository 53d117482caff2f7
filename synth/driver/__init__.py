"""What sits over the tasks: checks before the first, few in flight at a time, an orderly end."""
