"""Commands of this problem alone: what people do with its models."""
