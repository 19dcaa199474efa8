"""One server for online users and for bulk: what bulk may do so that nobody notices."""
