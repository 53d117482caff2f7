"""Numbers of a report beyond accuracies and their changes: a file for each question, tables of them all."""
