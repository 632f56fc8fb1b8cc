"""What compiled code of any kind needs: the compiler, threads, memory, types, vector mathematics."""
