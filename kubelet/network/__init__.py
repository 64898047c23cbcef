"""How pods reach each other: one small interface, answered by VXLAN and by a fake alike."""
