"""`-accel kvm`: guest CPUs run by the host's own, through /dev/kvm (Linux, Documentation/virt/kvm/api.rst)."""
