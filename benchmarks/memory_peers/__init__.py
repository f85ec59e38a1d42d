"""MIA's memory beside the stores that other agents' memories stand on.

    pip install chromadb==1.5.9 lancedb==0.40.0 mem0ai==2.2.1 qdrant-client==1.20.0
    python -m benchmarks.memory_peers.recall        # how fast it finds what may help
    python -m benchmarks.memory_peers.writes        # how fast it remembers, and what is kept of it

Both print Markdown tables to the standard output, after a line about the machine, and what they are
doing to the standard error. MIA does not depend on any of these stores.
"""
