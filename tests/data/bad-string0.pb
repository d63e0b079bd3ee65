


€´‰
€ÚÄ	

€­â€€€€€À(08"€‚€""€„€""€†€"#*
 (
*
		 (*


 (2zero2samples2count2cpu2nanoseconds2/opt/app/server2b0b02	main.main2	server.go2
main.serve2
main.parse2handler2indexH€€¼§¦÷Ï¤P€”ëÜZ`€­â