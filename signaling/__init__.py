"""SIP and SDP over UDP, TCP, TLS, WS and WSS. Knows nothing of audio or agents."""
