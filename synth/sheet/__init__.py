"""Contact sheets: images beside any kinds of their negatives."""
