// Room: Cgroups.
