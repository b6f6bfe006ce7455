"""Pure rooms: the canonical model, the claim builder, code systems, AuditEvent shapes and the error tree."""
