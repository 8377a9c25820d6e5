"""Text as sequences of token ids: words, vocabulary, splits, batches, windows."""
