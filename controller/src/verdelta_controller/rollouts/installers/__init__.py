"""Ways to install a release on hosts.  Each tells what it did; whether that is true, the audits tell."""
