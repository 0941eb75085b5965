-- Chain the streams of a prefix from now on, history included or not.
SELECT eventstore.start_chain_v1(%s, %s)
