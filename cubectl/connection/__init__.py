"""How the API server is found and asked: kubeconfig files, TLS, HTTP/1.1. It knows no object."""
