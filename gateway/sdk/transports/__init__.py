"""Ready transports: each says of every failure whether something may have left us."""
