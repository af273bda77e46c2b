"""What a policy would have raised on the past: the alarms of the service, from counts alone, beside those of rules of thumb."""
