-- Each event is a client that logs in, asks once, and leaves.
sysbench.cmdline.options = {
   tables = { "not used", 1 },
   table_size = { "not used", 1 }
}

function thread_init()
   driver = sysbench.sql.driver()
end

function event()
   local connection = driver:connect()
   connection:query("SELECT 1")
   connection:disconnect()
end
