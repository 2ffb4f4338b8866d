-- Each event reads a row of 1 MiB.
sysbench.cmdline.options = {
   tables = { "not used", 1 },
   table_size = { "not used", 1 }
}

function thread_init()
   connection = sysbench.sql.driver():connect()
end

function event()
   connection:query("SELECT data FROM bench.large WHERE id = 1")
end
