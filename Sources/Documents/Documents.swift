// Room: Documents.
