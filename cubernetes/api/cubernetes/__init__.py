"""The kinds of the group cubernetes.io: those that Kubernetes has not."""
