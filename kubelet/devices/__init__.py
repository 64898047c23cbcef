"""Devices of this machine: found, offered as extended resources, given to one container each."""
