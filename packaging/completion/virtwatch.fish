# Completion of virtwatch for fish: the program itself says what may follow.

function __virtwatch_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    for line in ($words[1] complete -- $words[2..] "$typed" 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path $typed
        else
            echo $line
        end
    end
end

complete -c virtwatch -f -a '(__virtwatch_complete)'
