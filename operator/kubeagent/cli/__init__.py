"""The command line: `kubeagent`, also `kubectl kubeagent`."""
