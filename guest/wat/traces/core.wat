  ;; What Rust can't reach: a global, a table, a data segment, and the numbers of resource handles.
  ;;
  ;; Each request says what it found in all of them, and only then changes them all. Its answer has no body;
  ;; the report is the field `x-found`. A path that is a number (`/12`) has it use the handle of that number
  ;; as `fields`, whether it was ever given one or not.
  ;;
  ;; This part is the same in both worlds. Each world's own file goes on with the import and the handler.

  (core module $state
    (func $left)
    (memory (export "memory") 1)
    (global (export "global") (mut i32) (i32.const 0x600d))
    (table (export "table") 64 funcref)
    (elem (i32.const 0) func $left)
    ;; The report, with room for each number in hexadecimal.
    (data (i32.const 0)
      "global=........ table=........ filled=........ data=........ handle=........ marked=........")
    (data (i32.const 128) "x-found")
    (data (i32.const 144) "x-mark")
    (data (i32.const 160) "\0d\60\00\00")
    ;; The host writes what it returns here. Nobody keeps it for longer than a call.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0x8000)))

  (core module $traces
    (import "state" "memory" (memory 1))
    (import "state" "global" (global $global (mut i32)))
    (import "state" "table" (table $table 64 funcref))
    (import "host" "fields" (func $fields (result i32)))
    (import "host" "has" (func $has (param i32 i32 i32) (result i32)))
    (import "host" "append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (import "host" "path" (func $path (param i32 i32)))

    (func $left)
    (elem declare func $left)

    ;; Takes the request, and returns the fields of the response.
    (func (export "look") (param $request i32) (result i32)
      (local $fields i32) (local $handle i32)
      (local.set $fields (call $fields))
      (call $write (i32.const 7) (global.get $global))
      (call $write (i32.const 22) (table.size $table))
      (call $write (i32.const 38) (call $filled))
      (call $write (i32.const 52) (i32.load (i32.const 160)))
      (call $write (i32.const 68) (local.get $fields))
      (call $write (i32.const 84) (call $marked (local.get $fields)))
      (call $leave)
      (local.set $handle (call $asked_for (local.get $request)))
      (if (local.get $handle)
        (then (drop (call $marked (local.get $handle)))))
      (call $append (local.get $fields)
        (i32.const 128) (i32.const 7) (i32.const 0) (i32.const 92) (i32.const 256))
      (local.get $fields))

    ;; Changes all that a next instance could find.
    (func $leave (local $count i32)
      (global.set $global (i32.const 0xbad))
      (i32.store (i32.const 160) (i32.const 0xbad))
      (drop (table.grow $table (ref.func $left) (i32.const 64)))
      (table.fill $table (i32.const 0) (ref.func $left) (table.size $table))
      (loop $again
        (call $append (call $fields)
          (i32.const 144) (i32.const 6) (i32.const 144) (i32.const 6) (i32.const 256))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $count) (i32.const 64)))))

    ;; How many slots of the table hold a function.
    (func $filled (result i32) (local $slot i32) (local $filled i32)
      (loop $again
        (local.set $filled (i32.add (local.get $filled)
          (i32.eqz (ref.is_null (table.get $table (local.get $slot))))))
        (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $slot) (table.size $table))))
      (local.get $filled))

    ;; Whether fields have the mark that `leave` makes.
    (func $marked (param $fields i32) (result i32)
      (call $has (local.get $fields) (i32.const 144) (i32.const 6)))

    ;; The number that the path is, or zero.
    (func $asked_for (param $request i32) (result i32)
      (local $at i32) (local $end i32) (local $number i32)
      (call $path (local.get $request) (i32.const 256))
      ;; Behind the slash.
      (local.set $at (i32.add (i32.load (i32.const 260)) (i32.const 1)))
      (local.set $end (i32.add (i32.load (i32.const 260)) (i32.load (i32.const 264))))
      (block $done
        (loop $again
          (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
          (local.set $number (i32.add
            (i32.mul (local.get $number) (i32.const 10))
            (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $again)))
      (local.get $number))

    ;; Writes a number as eight hexadecimal digits.
    (func $write (param $at i32) (param $number i32) (local $digit i32) (local $last i32)
      (local.set $last (i32.add (local.get $at) (i32.const 7)))
      (loop $again
        (local.set $digit (i32.and (local.get $number) (i32.const 15)))
        (i32.store8 (local.get $last) (i32.add (local.get $digit)
          (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
        (local.set $number (i32.shr_u (local.get $number) (i32.const 4)))
        (local.set $last (i32.sub (local.get $last) (i32.const 1)))
        (br_if $again (i32.ge_u (local.get $last) (local.get $at))))))

  (core instance $state (instantiate $state))
  (alias core export $state "memory" (core memory $memory))
  (alias core export $state "realloc" (core func $realloc))
