"""Pure and small: time, ids and secrets; imports nothing of ours and nothing that does I/O."""
