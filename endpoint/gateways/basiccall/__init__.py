"""BasicCall's soft phone interface, as its page script WSSoftPhone speaks it: decode and encode."""
