"""Parts: every module here is small, takes finished parts or plain numbers, and knows no model."""
