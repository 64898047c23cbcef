"""etcd as a store: its channel, watches, words and versions. Alone it speaks gRPC."""
