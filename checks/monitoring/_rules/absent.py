"""Metrics that well-known exporters have only with some hardware, role or flag: not there is not dead.

Private to this family. Facts about exporters, not about anybody's rules.
"""

from __future__ import annotations

import re
from collections.abc import Collection

# What a collector of the node exporter reads; the first word after `node_`.
COLLECTORS = {
    "hwmon": "hwmon", "md": "mdadm", "edac": "edac", "bonding": "bonding", "zfs": "zfs", "nfs": "nfs",
    "nfsd": "nfsd", "ipvs": "ipvs", "infiniband": "infiniband", "fibrechannel": "fibrechannel",
    "nvme": "nvme", "rapl": "rapl", "thermal": "thermal_zone", "cooling": "thermal_zone", "drbd": "drbd",
    "btrfs": "btrfs", "xfs": "xfs", "bcache": "bcache", "tape": "tapestats", "wifi": "wifi",
    "power": "powersupplyclass", "dmi": "dmi", "watchdog": "watchdog", "tipc": "tipc", "pressure": "pressure",
}  # fmt: skip
OFF_BY_DEFAULT = {
    "systemd": "systemd", "processes": "processes", "interrupts": "interrupts", "tcp": "tcpstat",
    "supervisord": "supervisord", "runit": "runit", "ntp": "ntp", "perf": "perf", "qdisc": "qdisc",
    "ethtool": "ethtool", "mountstats": "mountstats", "ksmd": "ksmd", "logind": "logind",
    "buddyinfo": "buddyinfo", "slabinfo": "slabinfo", "sysctl": "sysctl", "cgroups": "cgroups",
    "zoneinfo": "zoneinfo", "network_route": "network_route", "lnstat": "lnstat", "drm": "drm",
    "wireless": "wifi",
}  # fmt: skip
FLAG = "the exporter tells it with a flag only"
# (metrics, a metric of the same exporter that tells that it is there, why they may be missing).
OPTIONAL = (
    (r"redis_total_system_memory_bytes", r"redis_up", "it needs --include-system-metrics"),
    (r"redis_key(s|_.*)?(_.*)?", r"redis_up", "it is told for the keys of --check-keys and the like"),
    (r"redis_(stream|script|search|hash|list|set|connected_client)_.*", r"redis_up", FLAG),
    (r"redis_config_(?!max).*", r"redis_up", "it needs --include-config-metrics"),
    (r"redis_cluster_.*", r"redis_up", "only a node of a cluster has it"),
    (r"redis_sentinel_.*", r"redis_up", "only a sentinel has it"),
    (r"redis_(master|slave|replica|connected_slave)_.*", r"redis_up", "only a replica or its master has it"),
    (r"redis_(modules?|active_defrag|defrag|lazyfree|acl|tracking)_.*", r"redis_up", "the version decides"),
    (r"pg_stat_statements_.*", r"pg_up", "the collector stat_statements is off by default"),
    (r"pg_(stat_wal_receiver|stat_subscription|replication_slots?|replication_standby)_.*", r"pg_up",
     "only servers that replicate have it"),
    (r"pg_(long_running_transactions|process_idle|postmaster|xlog_location|database_wraparound)_.*", r"pg_up",
     "a collector that is off by default"),
    (r"pg_(stat_checkpointer|statio_user_indexes|stat_activity_autovacuum|buffercache)_.*", r"pg_up",
     "a collector that is off by default"),
    (r"mysql_(slave|replica|galera|heartbeat|info_schema|perf_schema|engine)_.*", r"mysql_up",
     "a role or a collector's flag decides"),
    (r"probe_(ssl|tls)_.*", r"probe_success", "only probes over TLS have it"),
    (r"probe_(http|dns|icmp|tcp|grpc)_.*", r"probe_success", "only probes of that kind have it"),
    (r"kube_(cronjob|job|daemonset|statefulset|horizontalpodautoscaler|ingress|poddisruptionbudget)_.*",
     r"kube_pod_info", "there is nothing of that kind in the cluster, or it is not watched"),
    (r"kube_(persistentvolume(claim)?|volumeattachment|resourcequota|limitrange|verticalpodautoscaler)_.*",
     r"kube_pod_info", "there is nothing of that kind in the cluster, or it is not watched"),
    (r"container_(fs|accelerator|hugetlb|memory_numa|referenced|network_(tcp|udp))_.*", r"container_.*",
     "a collector of cAdvisor that may be off"),
    (r"prometheus_(notifications|sd|remote_storage|rule_evaluation|tsdb_exemplar)_.*",
     r"prometheus_build_info", "it is told once that is set up and has happened"),
    (r"process_(open|max)_fds|process_(virtual|resident)_memory_.*", r"go_goroutines|python_info",
     "it is only told on Linux"),
    (r"DCGM_.*|nvidia_.*", r"node_.*", "there is no such card"),
)  # fmt: skip


def may_be_missing(
    name: str, there: Collection[str], collectors: Collection[str], first_words: Collection[str]
) -> str:
    """Why a metric that nobody has may be missing although its name is right; "" where nothing says so.

    ``there`` are names that exist, ``collectors`` those that the node exporter runs.
    """
    if name.startswith("node_"):
        return _collector(name.removeprefix("node_"), there, collectors, first_words)
    for metric, sign, why in OPTIONAL:
        if re.fullmatch(metric, name) and any(re.fullmatch(sign, each) for each in there):
            return why
    return ""


def _collector(
    rest: str, there: Collection[str], collectors: Collection[str], first_words: Collection[str]
) -> str:
    if "node" not in first_words:
        return ""
    known = {**COLLECTORS, **OFF_BY_DEFAULT}
    word = next((each for each in sorted(known, key=len, reverse=True) if rest.startswith(f"{each}_")), "")
    if not word or any(each.startswith(f"node_{word}_") for each in there):
        return ""  # the collector runs and tells other things: this name is wrong
    collector = known[word]
    if collector in collectors:
        return f"the collector {collector} runs and finds no such hardware"
    if word in OFF_BY_DEFAULT:
        return f"the collector {collector} of the node exporter is off by default"
    return f"the collector {collector} of the node exporter is off, or there is no such hardware"
