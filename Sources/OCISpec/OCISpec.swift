// Room: OCISpec.
