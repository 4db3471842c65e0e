# A 64 KiB boot ROM that is a whole guest (<loader type='rom'>): no firmware, no kernel, 2 MiB of memory,
# ready in milliseconds, 0 % CPU while idle. It does one thing for each byte on COM1 and sends '!' at start:
#  o ACPI poweroff      r reset               p panic (pvpanic, 0x505)      h cli; hlt     b busy until the next byte
#  w ib700 watchdog 2 s W i6300esb ~1 s (PCI slot 10)                       t set the clock
#  d write 64 KiB to IDE hda from the start   R read 64 KiB                 x write and write until the next byte
#  m dirty 512 KiB once M dirty until the next byte                         G touch 1 to 56 MiB
#  z suspend to memory  Z suspend to disk     l balloon at 4 KiB (virtio, PCI slot 11)
#  q tell the balloon of 2 MiB of memory, 96 KiB of them usable
#  a open port 1 of virtio-serial (PCI slot 13), which to libvirt is a guest agent that connects   A close it
#  e let go of PCI slot 12                    u let go of memory device 0   f say that memory device 0 cannot go
# Build: gcc -m32 -c tinyrom.S; ld -m elf_i386 -Ttext=0 --oformat=binary -e _start
	.code16
	.text
	.globl _start
_start:
	cli
	xor %ax,%ax
	mov %ax,%ds
	mov %ax,%ss
	mov $0x7000,%sp
	# IVT 0x0c (IRQ4) and dummy for the rest
	xor %di,%di
	mov %ax,%es
	mov $256,%cx
1:	movw $dummy,%es:(%di)
	movw $0xf000,%es:2(%di)
	add $4,%di
	loop 1b
	movw $irq4,%es:0x30
	movw $0,0x600
	# unreal mode in ES: LAPIC SVR on, LVT LINT0 = ExtINT, so that the 8259 drives INTR
	lgdtl %cs:gdtr
	mov %cr0,%eax; or $1,%al; mov %eax,%cr0
	mov $8,%bx; mov %bx,%es; mov %bx,%fs	# FS stays flat (base 0, 4 GiB)
	and $0xfe,%al; mov %eax,%cr0
	mov $0xfee00000,%ebx
	movl $0x1ff,%es:0xf0(%ebx)
	movl $0x700,%es:0x350(%ebx)
	xor %bx,%bx; mov %bx,%es
	# PIC
	mov $0x11,%al; out %al,$0x20; out %al,$0xa0
	mov $0x08,%al; out %al,$0x21
	mov $0x70,%al; out %al,$0xa1
	mov $0x04,%al; out %al,$0x21
	mov $0x02,%al; out %al,$0xa1
	mov $0x01,%al; out %al,$0x21; out %al,$0xa1
	mov $0xef,%al; out %al,$0x21
	mov $0xff,%al; out %al,$0xa1
	# COM1 115200 8n1, rx interrupt
	mov $0x3fb,%dx; mov $0x83,%al; out %al,%dx
	mov $0x3f8,%dx; mov $1,%al; out %al,%dx
	mov $0x3f9,%dx; xor %al,%al; out %al,%dx
	mov $0x3fb,%dx; mov $3,%al; out %al,%dx
	mov $0x3fc,%dx; mov $0x0b,%al; out %al,%dx
	mov $0x3f9,%dx; mov $1,%al; out %al,%dx
	mov $'!',%al
	call putc
idle:
	cli
	movb 0x600,%al
	test %al,%al
	jnz cmd
	sti
	hlt
	jmp idle
cmd:	movb $0,0x600
	sti
	call putc
	cmp $'o',%al; je poweroff
	cmp $'r',%al; je reset
	cmp $'p',%al; je panic
	cmp $'h',%al; je halt
	cmp $'b',%al; je busy
	cmp $'w',%al; je wd
	cmp $'W',%al; je wd6300
	cmp $'d',%al; je wr
	cmp $'R',%al; je rd
	cmp $'m',%al; je dirty
	cmp $'G',%al; je grow
	cmp $'M',%al; je dirtyloop
	cmp $'t',%al; je clock
	cmp $'x',%al; je wrloop
	cmp $'z',%al; je suspend
	cmp $'Z',%al; je hibernate
	cmp $'l',%al; je balloon
	cmp $'q',%al; je memstats
	cmp $'a',%al; je agent
	cmp $'A',%al; je noagent
	cmp $'e',%al; je eject
	cmp $'u',%al; je unplug
	cmp $'f',%al; je refuse
	jmp idle
putc:	mov $0x3f8,%dx
	out %al,%dx
	ret
irq4:	push %ax
	push %dx
	mov $0x3f8,%dx
	in %dx,%al
	mov %al,0x600
	mov $0x20,%al
	out %al,$0x20
	pop %dx
	pop %ax
	iret
dummy:	iret
# eax = config address; returns/takes value via dx=0xcfc
cfgaddr: mov $0xcf8,%dx
	out %eax,%dx
	mov $0xcfc,%dx
	ret
poweroff:
	mov $0x2000,%bx				# SLP_EN, SLP_TYP 0: off
sleep:	mov $0x80000b40,%eax; call cfgaddr	# 00:01.3 PMBASE
	mov $0x0000b001,%eax; out %eax,%dx
	mov $0x80000b80,%eax; call cfgaddr	# PMREGMISC
	mov $1,%al; out %al,%dx
	mov $0xb004,%dx
	mov %bx,%ax; out %ax,%dx
	jmp idle
suspend: mov $0x2400,%bx			# SLP_TYP 1: S3
	jmp sleep
hibernate: mov $0x2800,%bx			# SLP_TYP 2: S4
	jmp sleep
clock:	mov $0x02,%al; out %al,$0x70		# the minutes
	mov $0x30,%al; out %al,$0x71
	jmp idle
# PCI hot-plug and memory hot-plug registers of QEMU's PIIX4 (docs/specs/acpi_pci_hotplug, acpi_mem_hotplug)
eject:	mov $0xae10,%dx; xor %eax,%eax; out %eax,%dx
	mov $0xae08,%dx; mov $0x1000,%eax; out %eax,%dx
	jmp idle
unplug:	mov $0x0a00,%dx; xor %eax,%eax; out %eax,%dx
	mov $0x0a14,%dx; mov $8,%al; out %al,%dx
	jmp idle
refuse:	mov $0x0a00,%dx; xor %eax,%eax; out %eax,%dx
	mov $0x0a04,%dx; mov $3,%eax; out %eax,%dx	# _OST: eject request
	mov $0x0a08,%dx; mov $1,%eax; out %eax,%dx		# general failure
	jmp idle
# Legacy virtio: the registers of a device are where BAR0 is put.
balloon: mov $0x80005810,%eax; call cfgaddr
	mov $0xc000,%eax; out %eax,%dx
	mov $0x80005804,%eax; call cfgaddr
	mov $1,%ax; out %ax,%dx
	mov $0xc018,%dx; mov $1,%eax; out %eax,%dx	# actual: one page
	jmp idle
memstats: mov $0x80005810,%eax; call cfgaddr
	mov $0xc000,%eax; out %eax,%dx
	mov $0x80005804,%eax; call cfgaddr
	mov $5,%ax; out %ax,%dx
	mov $0xc012,%dx; xor %al,%al; out %al,%dx	# reset
	mov $3,%al; out %al,%dx			# acknowledge, driver
	mov $0xc004,%dx; mov $2,%eax; out %eax,%dx	# feature: statistics
	mov $0xc00e,%dx; mov $2,%ax; out %ax,%dx	# queue 2: statistics, to the host; ring at 0x90000
	mov $0xc008,%dx; mov $0x90,%eax; out %eax,%dx
	push %es
	mov $0x9000,%ax; mov %ax,%es
	movl $0x92000,%es:0x0; movl $0,%es:0x4		# descriptor 0: 20 bytes at 0x92000
	movl $20,%es:0x8; movl $0,%es:0xc
	movl $0x00010000,%es:0x800; movw $0,%es:0x804	# one is available: 0
	movw $5,%es:0x2000; movl $0x200000,%es:0x2002; movl $0,%es:0x2006	# total
	movw $6,%es:0x200a; movl $0x18000,%es:0x200c; movl $0,%es:0x2010	# available
	pop %es
	mov $0xc012,%dx; mov $7,%al; out %al,%dx	# driver ok
	mov $0xc010,%dx; mov $2,%ax; out %ax,%dx	# notify
	jmp idle
serial:	mov $0x80006810,%eax; call cfgaddr
	mov $0xc100,%eax; out %eax,%dx
	mov $0x80006804,%eax; call cfgaddr
	mov $5,%ax; out %ax,%dx
	mov $0xc112,%dx; xor %al,%al; out %al,%dx	# reset: every port is closed
	ret
noagent: call serial
	jmp idle
agent:	call serial
	mov $0xc112,%dx; mov $3,%al; out %al,%dx	# acknowledge, driver
	mov $0xc104,%dx; mov $2,%eax; out %eax,%dx	# feature: many ports
	mov $0xc10e,%dx; mov $3,%ax; out %ax,%dx	# queue 3: control, to the host; ring at 0x90000
	mov $0xc108,%dx; mov $0x90,%eax; out %eax,%dx
	push %es
	mov $0x9000,%ax; mov %ax,%es
	movl $0x92000,%es:0x0; movl $0,%es:0x4		# descriptor 0: 8 bytes at 0x92000
	movl $8,%es:0x8; movl $0,%es:0xc
	movl $0x00010000,%es:0x200; movw $0,%es:0x204	# one is available: 0
	movl $1,%es:0x2000; movl $0x00010006,%es:0x2004	# port 1, PORT_OPEN, yes
	pop %es
	mov $0xc112,%dx; mov $7,%al; out %al,%dx	# driver ok
	mov $0xc110,%dx; mov $3,%ax; out %ax,%dx	# notify
	jmp idle
reset:	mov $0xfe,%al; out %al,$0x64
	jmp idle
panic:	mov $0x505,%dx; mov $1,%al; out %al,%dx
	jmp idle
halt:	cli
	hlt
	jmp halt
busy:	cmpb $0,0x600
	je busy
	jmp idle
wd:	mov $0x443,%dx; mov $14,%al; out %al,%dx
	jmp idle
wd6300:	# PCI slot 10 fn 0: BAR0 := 0xA0000, command |= memory
	mov $0x80005010,%eax; call cfgaddr
	mov $0x000a0000,%eax; out %eax,%dx
	mov $0x80005004,%eax; call cfgaddr
	in %dx,%eax; or $2,%al; out %eax,%dx
	mov $0x80005060,%eax; call cfgaddr
	mov $0x0003,%ax; out %ax,%dx		# no interrupt, 1 kHz, output enabled
	push %es
	mov $0xa000,%ax; mov %ax,%es
	movw $0x80,%es:0xc; movw $0x86,%es:0xc; movl $500,%es:0x0
	movw $0x80,%es:0xc; movw $0x86,%es:0xc; movl $500,%es:0x4
	movw $0x80,%es:0xc; movw $0x86,%es:0xc; movw $0x100,%es:0xc	# reload
	pop %es
	mov $0x80005068,%eax; call cfgaddr
	mov $2,%al; out %al,%dx			# enable
	mov $'E',%al; call putc
	jmp idle
# IDE PIO: 128 sectors from LBA 0
setup:	mov $0x1f7,%dx				# a command while the last one is under way is lost
1:	in %dx,%al
	test $0x80,%al
	jnz 1b
	mov $0x1f2,%dx; mov $128,%al; out %al,%dx
	inc %dx; xor %al,%al; out %al,%dx
	inc %dx; out %al,%dx
	inc %dx; out %al,%dx
	inc %dx; mov $0xe0,%al; out %al,%dx
	ret
drq:	mov $0x1f7,%dx
1:	in %dx,%al
	test $0x80,%al
	jnz 1b
	test $0x21,%al
	jnz 2f
	test $0x08,%al
	jz 1b
2:	ret
put64k:	call setup				# CF: it failed
	mov $0x1f7,%dx; mov $0x30,%al; out %al,%dx
	mov $128,%bx
3:	call drq
	test $0x21,%al
	stc
	jnz 2f
	mov $0x1f0,%dx
	xor %si,%si
	mov $256,%cx
	cs rep outsw
	dec %bx
	jnz 3b
	clc
2:	ret
wr:	call put64k
	jc 4f
	mov $'D',%al; call putc
	jmp idle
wrloop:	call put64k
	cmpb $0,0x600
	je wrloop
	jmp idle
4:	mov $'E',%al; call putc
	jmp idle
rd:	call setup
	mov $0x1f7,%dx; mov $0x20,%al; out %al,%dx
	mov $128,%bx
5:	call drq
	test $0x21,%al
	jnz 4b
	mov $0x1f0,%dx
	push %es
	mov $0x2000,%ax; mov %ax,%es
	xor %di,%di
	mov $256,%cx
	cld
	rep insw
	pop %es
	dec %bx
	jnz 5b
	mov $'D',%al; call putc
	jmp idle
touch:	push %es
	mov $0x1000,%ax
6:	mov %ax,%es
	incb %es:0
	add $0x100,%ax
	cmp $0x9000,%ax
	jb 6b
	pop %es
	ret
grow:	mov $0x100000,%ebx
7:	incb %fs:(%ebx)
	add $4096,%ebx
	cmp $0x3800000,%ebx
	jb 7b
	mov $'D',%al; call putc
	jmp idle
dirty:	call touch
	mov $'D',%al; call putc
	jmp idle
dirtyloop:
	call touch
	cmpb $0,0x600
	je dirtyloop
	jmp idle
	.balign 8
gdt:	.quad 0
	.quad 0x00cf93000000ffff
gdtr:	.word 15
	.long 0xf0000+gdt
	.org 0xfff0
	ljmp $0xf000,$_start
	.org 0xffff
	.byte 0
