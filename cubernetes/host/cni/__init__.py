"""CNI: how other people's network plugins are configured, called and understood; no kubelet."""
