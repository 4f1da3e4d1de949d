// Room: Privileges.
