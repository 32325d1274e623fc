-- Making a token forgets those that have expired: that reads no others.
CREATE INDEX token_by_expiry ON token (expires_at);
