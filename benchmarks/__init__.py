"""The figures: what pykka-smtp costs, beside other SMTP clients, on this machine and in one run.

Run ``python -m benchmarks --help`` from the root of the repository; docs/benchmarks.md says how
it measures and what came out.
"""
