"""Who has access to what, as objects: accounts of namespaces, and roles that gather rules."""
