"""Where objects are kept: one small interface, answered by etcd and by memory alike."""
