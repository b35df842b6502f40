"""Work nobody waits for with an open connection, resumed after whatever ended the process: batches."""
