-- Chain the streams of a prefix no more.
SELECT eventstore.stop_chain_v1(%s)
