"""After a restore the store is older than the world: what had been done since the backup is due
again. Here it is brought up to date before anything is sent, asked for or paid a second time.
"""
