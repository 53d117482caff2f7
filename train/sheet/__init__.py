"""Contact sheets: images beside their negatives."""
