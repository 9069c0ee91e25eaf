"""The four kinds of kubeagent.io/v1 as frozen models: the source of crds/*.yaml and of what the hub writes."""
