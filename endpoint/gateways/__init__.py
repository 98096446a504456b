"""Protocols that clients speak, as pure pairs: decode what comes, encode what is told."""
