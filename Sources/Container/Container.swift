// Room: Container.
