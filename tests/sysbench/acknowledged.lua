-- oltp_read_write, whose transactions leave a row each, and which keeps a record of those whose COMMIT was answered.
-- For servers that fail: an error ends a transaction, and the next begins.

require("oltp_read_write")

sysbench.cmdline.options.record = {"Where the record of each thread is kept: this and the thread's number"}
sysbench.cmdline.options.runner = {"The number of this sysbench, which is part of its rows", 0}
sysbench.cmdline.options.start = {"How often it was started before, which is part of its rows", 0}

local prepare_thread = thread_init
local restart = sysbench.hooks.before_restart_event
local record
local number = 0

local function note(line)
   record:write(line .. "\n")
end

function thread_init()
   record = assert(io.open(sysbench.opt.record .. sysbench.tid, "w"))
   record:setvbuf("no")
   prepare_thread()
end

function sysbench.hooks.before_restart_event(failed)
   note("failed " .. failed.sql_errno .. " " .. failed.sql_errmsg)
   restart(failed)
   -- What failed may have left the transaction open.
   pcall(function() con:query("ROLLBACK") end)
end

function event()
   number = number + 1
   begin()
   execute_point_selects()
   execute_simple_ranges()
   execute_sum_ranges()
   execute_order_ranges()
   execute_distinct_ranges()
   execute_index_updates()
   execute_non_index_updates()
   execute_delete_inserts()
   con:query(string.format("INSERT INTO acknowledged VALUES (%d, %d, %d, %d)",
                           sysbench.opt.runner, sysbench.opt.start, sysbench.tid, number))
   commit()
   note("acknowledged " .. number)
end
