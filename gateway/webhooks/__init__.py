"""Webhooks: events pushed to platforms as Standard Webhooks has it, in order per subject, at least once."""
