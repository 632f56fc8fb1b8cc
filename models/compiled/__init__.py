"""What all compiled code needs: the compiler, threads, memory, types, vector mathematics."""
