"""Small, healthy Kubernetes objects for live tests; every name and number is given by the caller."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

SLEEP = "trap 'exit 0' TERM; while true; do sleep 1; done"


def container(name: str, image: str, script: str, **more: Any) -> Object:
    """One container that runs a shell script."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}},
        **more,
    }


def pod_spec(*containers: Object, **more: Any) -> Object:
    return {"terminationGracePeriodSeconds": 1, "containers": list(containers), **more}


def deployment(name: str, labels: dict[str, str], spec: Object, replicas: int = 1, **more: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
            **more,
        },
    }


def service(name: str, labels: dict[str, str], port: int, target: int | str, port_name: str = "main") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"name": port_name, "port": port, "targetPort": target}]},
    }


def config_map(name: str, data: dict[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, data: dict[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def quota(name: str, hard: dict[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard}}


def claim(name: str, storage_class: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": "16Mi"}},
        },
    }


def job(name: str, spec: Object, backoff_limit: int = 4) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": backoff_limit, "template": {"spec": {"restartPolicy": "OnFailure", **spec}}},
    }


def cron_job(name: str, spec: Object, *, suspend: bool) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {
            "schedule": "* * * * *",
            "suspend": suspend,
            "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "OnFailure", **spec}}}},
        },
    }


def server_script(port: int) -> str:
    """A tiny HTTP server on a port."""
    return f"mkdir -p /tmp/www; echo ok > /tmp/www/index.html; exec httpd -f -p {port} -h /tmp/www"


def client_script(host: str, port: int) -> str:
    """Calls a server every second and says in its own words, on standard error, when it cannot."""
    return (
        f"trap 'exit 0' TERM; while true; do timeout 2 wget -q -O /dev/null http://{host}:{port}/"
        f' || echo "error: calling http://{host}:{port}/ failed" >&2; sleep 1; done'
    )
